"""What model builders share: parameters, their initializers, sharing, and net modifiers."""
