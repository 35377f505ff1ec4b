"""The checker of signatures that the tests run under: an int may stand where a float is asked for, as in PEP 484."""

from beartype import BeartypeConf, beartype

checked = beartype(conf=BeartypeConf(is_pep484_tower=True))
