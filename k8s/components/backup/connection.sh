# Sourced by backup.sh and restore.sh: $url is the database for PostgreSQL's own programs. The password
# goes by the environment, since arguments are in the list of processes. These programs change settings
# of their session, which a pooler would hand on to the services: DIRECT_DATABASE_URL goes past it.
set -euo pipefail
umask 077

url=${DIRECT_DATABASE_URL:-$FACES_DATABASE_URL}
url=${url/#postgresql+asyncpg:/postgresql:}
login=${url#*://}
login=${login%%@*}
if [[ $login == *:* ]]; then
    encoded=${login#*:}
    printf -v PGPASSWORD '%b' "${encoded//%/\\x}"
    export PGPASSWORD
    url=${url/"$login@"/"${login%%:*}@"}
fi
