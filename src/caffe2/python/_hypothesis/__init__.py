"""How `hypothesis_test_util` works: drawn arrays, and the checks of operators."""
