"""The life cycle of published models, a module a verb: publish, list, show, diff, verify, promote, rollback, export."""
