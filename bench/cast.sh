#!/bin/sh
# cast: try_cast of a million values, all good or one in ten bad, against the plain cast of good ones.
exec psql -X -q -f cast.sql
