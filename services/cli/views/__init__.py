"""How answers of the local API look to people. Pure: an answer and the time go in, text comes out."""
