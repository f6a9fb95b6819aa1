"""Checks that operators, nets and doors must meet, for the tests and for `freshpot conformance`."""
