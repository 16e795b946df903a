"""The section Follow-up: two folders of results compared."""
