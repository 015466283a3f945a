"""The yardstick: bytes per face at equal face-verification accuracy, for lfic and for any other codec.

interface  registry  own  peers/     codecs under test
data  crop  groups  judges  cache    faces, and the recognisers that judge
points  figures  verification        one codec at one setting, measured
looks  color  pattern                how it looks
templates                            the bound for machines alone
gate  charts                         whether new weights may take the place of old ones
bdrate  curves  tables               comparisons, as CSV files
budget  gallery  heat  speed         what a page shows beside them
report/                              the page
arguments  selection  evaluation     ``lfic evaluate``
"""
