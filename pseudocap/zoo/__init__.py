"""The shipped toy weights and how they were made."""
