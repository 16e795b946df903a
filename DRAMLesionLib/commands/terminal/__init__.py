"""The terminal: its progress bar, what is printed, and the options that commands share."""
