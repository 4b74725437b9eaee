"""Fetching a stranger's link: what may be dialled, and what it may cost."""
