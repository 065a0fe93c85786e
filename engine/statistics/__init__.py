"""Numbers and arrays in, estimates out; and the tables of groups, studies and the summary made of them."""
