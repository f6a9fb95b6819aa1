"""The layer functions behind `brew`, grouped by family."""
