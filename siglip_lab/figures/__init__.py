"""The book's figures, drawn with matplotlib (the extra "notebooks").

`chNN` has the figures of chapter NN, `style` the look of all and the figures of several chapters,
`touch` the elements to touch. Nothing else in the package imports this one.
"""
