"""Proof: the Merkle tree, signed notes, the export's form, and the auditors' program."""
