#!/bin/sh
# Tells a stream to come back, where no gateway answers.
printf 'Status: 200\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache, no-transform\r\n'
case "$HTTP_ORIGIN" in
http://* | https://*) printf 'Access-Control-Allow-Origin: %s\r\nAccess-Control-Allow-Credentials: true\r\n' "$HTTP_ORIGIN" ;;
esac
printf '\r\nretry: 3000\nevent: drain\ndata: {}\n\n'
