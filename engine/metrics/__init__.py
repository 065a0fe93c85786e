"""Pure statistics: numbers and arrays in, numbers out; each with its formula and source."""
