"""An oracle: what the warehouse should answer, computed a second time, naively, from the delivered files alone.

It shares no code with the library: the rules are read from the interfaces' text, the contracts and code lists are
plain data. Correctness before speed. Where the text leaves a choice, a comment beginning ``Reading:`` says which one
was taken and what the other would be.
"""
