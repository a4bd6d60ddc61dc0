#!/bin/sh
# Runs mien in a container. A password of PostgreSQL comes from a file, so that it stands in no manifest:
# PGPASSWORD_FILE names it.
set -eu
if [ -n "${PGPASSWORD_FILE:-}" ]; then
    PGPASSWORD=$(cat "$PGPASSWORD_FILE")
    export PGPASSWORD
fi
exec mien "$@"
