"""The published book: how a finished chapter is put together, and what Sphinx needs for it."""
