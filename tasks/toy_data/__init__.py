"""Small generated data sets in the formats of the real ones, one module a data set.

Each module offers a frozen dataclass of parameters and `generate(folder, parameters, progress)`;
`folder.publish` turns that into a folder which is either complete or absent.
"""
