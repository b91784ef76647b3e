//! Black-box tests of the real binary, one module per theme.
