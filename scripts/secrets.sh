#!/usr/bin/env bash
# Makes the secrets that docker-compose.yml wants for all six strategies, and writes them to a file that only its owner
# may read. With it, `docker compose up --build` starts every strategy: the file names the profile `all` and the routes.
# A file that is there is never touched: whoever wants new secrets removes it first.
#
#   scripts/secrets.sh [--postgres] [FILE]    default: .env beside docker-compose.yml, where compose reads it by itself
#
#   --postgres    users in a PostgreSQL, which several auth-services share: docker-compose.postgres.yml
set -euo pipefail

postgres=no
if [ "${1:-}" = --postgres ]; then
    postgres=yes
    shift
fi
case ${1:-} in
    -*) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0" >&2; exit 2 ;;
esac
file=${1:-$(cd "$(dirname "$0")/.." && pwd)/.env}

# 32 random bytes in the base64url alphabet, without padding (RFC 4648 §5).
secret() {
    head -c 32 /dev/urandom | base64 | tr -d '\n=' | tr '+/' '-_'
}

api=$(secret)
gateway=$(secret)
loadtest=$(secret)
database="# Users are in a SQLite file: scripts/secrets.sh --postgres puts them where several auth-services reach them."
if [ "$postgres" = yes ]; then
    database="POSTGRES_PASSWORD=$(secret)
COMPOSE_FILE=docker-compose.yml:docker-compose.postgres.yml"
fi

umask 077
# noclobber: the shell opens the file with O_EXCL, so that two of these at the same time cannot both write.
set -o noclobber
if ! cat >"$file" <<END
# Made by scripts/secrets.sh. Not for any repository.
AUTH_CLIENTS=statewise-api:$api:introspect,statewise-gateway:$gateway:exchange,statewise-loadtest:$loadtest:token+introspect
AUTH_KEY_ENCRYPTION_KEY=$(secret)
AUTH_ADMIN_USERNAME=administrator
AUTH_ADMIN_PASSWORD=$(secret)
API_CLIENT_ID=statewise-api
API_CLIENT_SECRET=$api
API_STATE_KEYS=first=$(secret)
GATEWAY_CLIENT_ID=statewise-gateway
GATEWAY_CLIENT_SECRET=$gateway
GATEWAY_EXCHANGE_ROUTES=/phantom
$database
COMPOSE_PROFILES=all
# Who owns what the load test writes.
STATEWISE_USER=$(id -u):$(id -g)
STATEWISE_MORE_ROUTES=,/session-cached=session-cached,/jwt-revocable=jwt-revocable,/introspection=introspection,/phantom=phantom,/phantom/public=phantom/public
STATEWISE_MORE_POOLS=;session-cached=dns:api-session-cached:8082;jwt-revocable=dns:api-jwt-revocable:8082;introspection=dns:api-introspection:8082;phantom=dns:api-phantom:8082
END
then
    echo "secrets: $file was not written; one that is there stays as it is" >&2
    exit 1
fi
echo "secrets: written to $file"
