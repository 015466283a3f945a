"""The sizes that everything is cut by: pixels, feature cells, regions, levels.

pixels --STRIDE--> cells of the feature grid --REGION--> regions, each of which has a level
"""

STRIDE = 8  # pixels of a feature cell's side
REGION = 4  # cells of a region's side
LEVELS = 3  # level l pools a region by 2**l in each direction
SIDE = 112  # pixels of the alignment template's side
ALIGNED_GRID = SIDE // STRIDE  # cells of the template's side, for which places are meaningful
QUALITIES = 100  # 1 to 100


def cell_grid(height: int, width: int) -> tuple[int, int]:
    """Feature cells (rows, columns) of a picture of height x width pixels; the last ones may be partial."""
    return -(-height // STRIDE), -(-width // STRIDE)


def region_grid(height: int, width: int) -> tuple[int, int]:
    """Regions (rows, columns) of a grid of height x width cells; the last ones may be partial."""
    return -(-height // REGION), -(-width // REGION)
