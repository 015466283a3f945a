"""The geometry that every operation shares; everything else in this folder takes it from here."""

REGION = 4  # cells in each direction that share a level; reductions are written out for 16 cells
LEVELS = 3  # a level l keeps one coefficient for every 2**l x 2**l cells
SYMBOL_LIMIT = 32767.0  # symbols lie in -SYMBOL_LIMIT ... SYMBOL_LIMIT


def regions(height: int, width: int) -> tuple[int, int]:
    """Rows and columns of regions over a grid of height x width cells; those at the right and bottom may be partial."""
    return -(-height // REGION), -(-width // REGION)
