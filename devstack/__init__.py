"""The local stack of `make run`: embedded servers, the supervisor and demo data. Nothing of the product imports it."""
