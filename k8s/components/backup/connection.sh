# Sourced by backup.sh and restore.sh: $url is FACES_DATABASE_URL for PostgreSQL's own programs. The
# password goes by the environment, since arguments are in the list of processes.
set -euo pipefail
umask 077

url=${FACES_DATABASE_URL/#postgresql+asyncpg:/postgresql:}
login=${url#*://}
login=${login%%@*}
if [[ $login == *:* ]]; then
    encoded=${login#*:}
    printf -v PGPASSWORD '%b' "${encoded//%/\\x}"
    export PGPASSWORD
    url=${url/"$login@"/"${login%%:*}@"}
fi
