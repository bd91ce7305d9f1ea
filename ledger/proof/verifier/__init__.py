"""The program for auditors, written out by `keyfold audit verifier`: one file that stands alone."""
