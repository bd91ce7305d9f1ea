"""The auditors' own program: small modules, written out as one file that stands alone.

The modules import the standard library, each other, and nothing else of Keyfold; `build` puts them
into the one file that `keyfold audit verifier` writes. Nobody has to trust Keyfold to run it.
"""
