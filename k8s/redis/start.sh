# Starts Redis with the users of users.acl and the passwords of the Secret. The server's file holds
# digests, so that passwords are in no file of it, in no list of processes, and may hold any character.
set -eu
umask 077

while read -r first rest; do
    case $first in
    '' | '#'*) ;;
    user)
        password=/etc/redis-passwords/$rest
        if [ -s "$password" ]; then
            digest=$(sha256sum < "$password")
            printf '\nuser %s on #%s' "$rest" "${digest%% *}"
        else
            printf '\nuser %s off' "$rest"
        fi
        ;;
    *) printf ' %s %s' "$first" "$rest" ;;
    esac
done < /etc/redis/users.acl > /run/redis/users.conf
echo >> /run/redis/users.conf

exec redis-server /etc/redis/redis.conf
