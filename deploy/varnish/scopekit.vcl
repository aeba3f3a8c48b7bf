# Varnish in front of gateways. It keeps nothing; TLS ends before it (hitch, or a load balancer). Start it with
#   -p send_timeout=604800 -p idle_send_timeout=75
# for by default it cuts every answer after 600 s, streams too.
vcl 4.1;

import directors;
import std;

probe ready {
    .url = "/readyz";
    .interval = 1s;
    .timeout = 2s;
    .window = 1;
    .threshold = 1;
    .initial = 1;
}

backend gateway1 {
    .host = "127.0.0.1";
    .port = "8000";
    .probe = ready;
    .connect_timeout = 5s;
    # Longer than two heartbeats of a stream (HEARTBEAT_SECONDS, 30 s).
    .first_byte_timeout = 75s;
    .between_bytes_timeout = 75s;
}

backend gateway2 {
    .host = "127.0.0.1";
    .port = "8001";
    .probe = ready;
    .connect_timeout = 5s;
    .first_byte_timeout = 75s;
    .between_bytes_timeout = 75s;
}

sub vcl_init {
    new gateways = directors.round_robin();
    gateways.add_backend(gateway1);
    gateways.add_backend(gateway2);
}

sub vcl_recv {
    # Numbers are scraped from each process itself, not through here.
    if (req.url ~ "^/metrics(\?|$)") {
        return (synth(404));
    }
    set req.backend_hint = gateways.backend();
    unset req.http.X-Stream;
    if (req.url ~ "^/(v1/visits/[^/?]+/progress|v1/progress|v1/tenant/progress|functions/v1/sse-progress)(\?|$)") {
        set req.http.X-Stream = "1";
    }
    # Answers are about the caller. None is kept, and none is given to another.
    return (pass);
}

sub vcl_backend_fetch {
    # Chosen again for each try.
    set bereq.backend = gateways.backend();
}

sub vcl_backend_response {
    set beresp.do_stream = true;
    set beresp.uncacheable = true;
    if (bereq.http.X-Stream && (beresp.status == 502 || beresp.status == 503 || beresp.status == 504)) {
        return (error(503));
    }
}

# A browser's EventSource gives up for good on a 502: while no gateway answers, streams are told to come back.
sub vcl_backend_error {
    # What may have been done is never sent twice.
    if ((bereq.method == "GET" || bereq.method == "HEAD") && bereq.retries < 2) {
        return (retry);
    }
    if (bereq.http.X-Stream) {
        set beresp.status = 200;
        set beresp.http.Content-Type = "text/event-stream";
        set beresp.http.Cache-Control = "no-cache, no-transform";
        if (bereq.http.Origin) {
            set beresp.http.Access-Control-Allow-Origin = bereq.http.Origin;
            set beresp.http.Access-Control-Allow-Credentials = "true";
            set beresp.http.Vary = "Origin";
        }
        set beresp.body = "retry: " + std.integer(real = std.random(2000, 4000)) + {"
event: drain
data: {}

"};
        return (deliver);
    }
}
