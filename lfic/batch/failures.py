"""What went wrong with which item of a batch."""

from typing import Any

from ..errors import InvalidInputError, LficError, MissingDependencyError


class Failures:
    """Errors by index: thrown at once, or kept.

    Args:
        errors: "raise" or "return".
        count: items of the batch; of a single one no index is told.
        what: an item's name in messages.
    """

    def __init__(self, errors: str, count: int, what: str) -> None:
        if errors not in ("raise", "return"):
            raise InvalidInputError(f"errors is {errors!r}; allowed are 'raise' and 'return'")
        self.errors, self.count, self.what = errors, count, what
        self.found: dict[int, LficError] = {}

    def __call__(self, index: int, error: LficError) -> None:
        """Item ``index`` (from 0) has failed."""
        if isinstance(error, MissingDependencyError):  # no fault of this item's
            raise error
        if index in self.found:
            return
        if self.count != 1:
            error.args = (f"{self.what} {index}: {error}",)
        if self.errors == "raise":
            raise error
        self.found[index] = error

    def among(self, results: list[Any]) -> list[Any]:
        """Results with errors in the places of those that failed."""
        for index, error in self.found.items():
            results[index] = error
        return results
