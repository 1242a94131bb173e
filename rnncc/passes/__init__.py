"""Passes: functions from an IR to the same kind of IR. One file a pass; `rnncc.pipeline` says in which order."""
