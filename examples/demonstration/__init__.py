"""The demonstration: a reseller, a few customers, and half a year of what happened to them."""
