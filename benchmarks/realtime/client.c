/*
 * Opens many event streams from one thread and tells what came of them.
 *
 *   client STREAMS [--from SEQ] [--opening N] [--rcvbuf BYTES] [--reconnect] [--next-port PORT] [--crc]
 *          [--per-source N]
 *
 * STREAMS is a file with a line for each stream: port, path, header (may be empty) and visit number, by tabs. Orders
 * come on stdin, a line each, and each is answered with one line of JSON on stdout:
 *
 *   open            begin to open all of them, --opening at a time
 *   stats           counts, and latencies in ms since the last reset
 *   reset           forget counts and latencies; positions stay
 *   stall A N       stop reading streams A to A+N-1;  drain A N  goes on
 *   leave A N       close the open ones of streams A to A+N-1, which come back with their Last-Event-ID
 *   half A N        say to the server that they have said all they will; it should end them, and they come back
 *   mark S0 S1 ...  the seq that each visit has reached;  behind  counts the reading streams not yet there
 *   violations      the first 32 in words
 *   returns         when each stream last had its answer after a reconnect, in ms since the epoch, in order of time
 *   dump            [visit, connects, [seq, crc32 of its document] of all events in the order they came] of each stream;
 *                   a snapshot at seq S stands among them as [-S - 1, 0]. Only with --crc
 *   quit            end; the end of stdin is the same
 *
 * An event's place is the "seq" in its document, its time of insertion a "t": microseconds in the payload. What was
 * inserted before its stream was open and reading has no latency. Time waited for a server is in no loop here:
 * everything hangs on epoll.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#ifndef IP_BIND_ADDRESS_NO_PORT
#define IP_BIND_ADDRESS_NO_PORT 24
#endif

typedef long long i64;

enum { IDLE, CONNECTING, HEADERS, BODY, DEAD };
#define EPOCH_GAP (1 << 20) /* realtime/protocol/epoch.py */
enum { SIZE, DATA, AFTER, LAST };

struct given {
    i64 seq;
    uint32_t crc;
};

struct stream {
    int fd, state, port, visit, stalled, chunked, part, connects, fresh;
    i64 left, last, next_try, retry, id, seq, stamp, returned, since;
    int has_id, has_data, snapshot;
    uint32_t crc;
    struct given *given;
    int given_count, given_room;
    char name[16];
    char *path, *header, *line;
    size_t len, cap;
};

static struct stream *streams;
static i64 *want;
static int count, visits, epfd, opening, next_open, inflight, retrying;
static i64 from = -1;
static int max_opening = 64, rcvbuf, reconnect, next_port, use_crc, per_source = 20000;

#define BUCKETS 200000 /* of 0.1 ms */
static uint32_t histogram[BUCKETS];
static i64 deliveries, bytes_in, beats, gaps, leaps, lost, doubled, reordered, bad_ids, ended, resets, unreachable, refused[600], timed;
static i64 latency_max, named_open, named_end, named_drain, ready, reconnects;
static char violations[32][240];
static int violation_count;
static uint32_t crc_table[256];

static i64 now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (i64)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void make_crc_table(void) {
    for (uint32_t n = 0; n < 256; n++) {
        uint32_t c = n;
        for (int k = 0; k < 8; k++) c = c & 1 ? 0xedb88320u ^ (c >> 1) : c >> 1;
        crc_table[n] = c;
    }
}

static uint32_t crc32_of(uint32_t crc, const char *data, size_t size) {
    crc = ~crc;
    for (size_t i = 0; i < size; i++) crc = crc_table[(crc ^ (unsigned char)data[i]) & 255] ^ (crc >> 8);
    return ~crc;
}

static void die(const char *what) {
    perror(what);
    exit(2);
}

static void violation(struct stream *s, const char *kind, i64 seq) {
    if (violation_count < 32)
        snprintf(violations[violation_count++], 240,
                 "{\"kind\":\"%s\",\"stream\":%d,\"visit\":%d,\"last\":%lld,\"got\":%lld,\"connects\":%d,"
                 "\"since_connect\":%d,\"at_us\":%lld}",
                 kind, (int)(s - streams), s->visit, s->last, seq, s->connects, s->fresh, now_us());
}

/* The end of a connection, by either side's will. */
static void leave(struct stream *s, i64 wait_ms) {
    if (s->state == CONNECTING || s->state == HEADERS) inflight--;
    if (s->state == BODY) ready--;
    if (s->fd >= 0) close(s->fd);
    s->fd = -1;
    s->len = 0;
    if (reconnect && wait_ms >= 0) {
        s->state = IDLE;
        if (next_port) s->port = next_port; /* as a load balancer would have it */
        s->next_try = now_us() + wait_ms * 1000;
        retrying++;
        reconnects++;
    } else {
        s->state = DEAD;
    }
}

static void connect_stream(struct stream *s) {
    int number = (int)(s - streams), one = 1;
    s->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (s->fd < 0) die("socket");
    if (rcvbuf) setsockopt(s->fd, SOL_SOCKET, SO_RCVBUF, &rcvbuf, sizeof rcvbuf);
    setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    struct sockaddr_in here = {.sin_family = AF_INET}, there = {.sin_family = AF_INET};
    if (number >= per_source) { /* one address has 28,000 ports */
        setsockopt(s->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
        here.sin_addr.s_addr = htonl(INADDR_LOOPBACK + number / per_source);
        if (bind(s->fd, (struct sockaddr *)&here, sizeof here)) die("bind");
    }
    there.sin_port = htons(s->port);
    there.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    s->state = CONNECTING;
    inflight++;
    if (connect(s->fd, (struct sockaddr *)&there, sizeof there) && errno != EINPROGRESS) {
        leave(s, 50 + random() % 100);
        return;
    }
    struct epoll_event e = {.events = EPOLLOUT, .data.ptr = s};
    if (epoll_ctl(epfd, EPOLL_CTL_ADD, s->fd, &e)) die("epoll_ctl");
}

static void send_request(struct stream *s) {
    char request[4096], resume[64] = "";
    if (s->last >= 0) snprintf(resume, sizeof resume, "Last-Event-ID: %lld\r\n", s->last);
    int size = snprintf(request, sizeof request,
                        "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nAccept: text/event-stream\r\n%s%s%s\r\n", s->path,
                        s->port, s->header, *s->header ? "\r\n" : "", resume);
    if (size >= (int)sizeof request) die("a request too long");
    if (send(s->fd, request, size, MSG_NOSIGNAL) != size) {
        resets++;
        leave(s, 50 + random() % 100);
        return;
    }
    s->state = HEADERS;
    s->len = 0;
    s->connects++;
    s->fresh = 0;
    s->name[0] = 0;
    s->has_id = s->has_data = 0;
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = s};
    epoll_ctl(epfd, EPOLL_CTL_MOD, s->fd, &e);
}

static void note_latency(i64 stamp) {
    i64 took = now_us() - stamp;
    if (took < 0) took = 0;
    if (took > latency_max) latency_max = took;
    took /= 100;
    histogram[took < BUCKETS ? took : BUCKETS - 1]++;
    timed++;
}

static void note_given(struct stream *s, i64 seq, uint32_t crc) {
    if (!use_crc) return;
    if (s->given_count == s->given_room) {
        s->given_room = s->given_room ? 2 * s->given_room : 64;
        s->given = realloc(s->given, s->given_room * sizeof *s->given);
        if (!s->given) die("realloc");
    }
    s->given[s->given_count++] = (struct given){seq, crc};
}

static void dispatch(struct stream *s) {
    if (s->has_data && s->name[0]) {
        if (!strcmp(s->name, "hello")) named_open++;
        else if (!strcmp(s->name, "end")) named_end++;
        else if (!strcmp(s->name, "drain")) named_drain++;
    } else if (s->has_data && s->seq >= 0) {
        if (s->has_id && s->id != s->seq) bad_ids++;
        note_given(s, s->snapshot ? -s->seq - 1 : s->seq, s->snapshot ? 0 : s->crc);
        if (s->snapshot) {
            s->last = s->seq;
        } else if (s->last >= 0 && s->seq <= s->last) {
            violation(s, s->seq == s->last ? "doubled" : "reordered", s->seq);
            if (s->seq == s->last) doubled++;
            else reordered++;
        } else {
            if (s->last >= 0 && s->seq - s->last > EPOCH_GAP) {
                leaps++; /* the database has crashed; whether anything is missing, the dump tells */
            } else if (s->last >= 0 && s->seq > s->last + 1) {
                violation(s, "gap", s->seq);
                gaps++;
                lost += s->seq - s->last - 1;
            }
            s->last = s->seq;
            s->fresh++;
            deliveries++;
            if (s->stamp >= s->since) note_latency(s->stamp); /* else it waited for us */
        }
    }
    s->has_data = s->has_id = 0;
    s->name[0] = 0;
}

static void take_document(struct stream *s, const char *text, size_t size) {
    size_t head = size < 160 ? size : 160;
    const char *seq = memmem(text, head, "\"seq\":", 6), *stamp;
    s->has_data = 1;
    s->seq = seq ? atoll(seq + 6) : -1;
    s->snapshot = memmem(text, head, "\"type\":\"snapshot\"", 17) != NULL;
    stamp = s->snapshot ? NULL : memmem(text, size < 400 ? size : 400, "\"t\": ", 5);
    s->stamp = stamp ? atoll(stamp + 5) : 0;
    if (use_crc) s->crc = crc32_of(0, text, size);
}

static void take_line(struct stream *s, char *text, size_t size) {
    if (size && text[size - 1] == '\r') size--;
    text[size] = 0; /* there is at least the line's end to overwrite */
    if (!size) dispatch(s);
    else if (text[0] == ':') beats += s->state == BODY;
    else if (!strncmp(text, "data: ", 6)) take_document(s, text + 6, size - 6);
    else if (!strncmp(text, "id: ", 4)) {
        char *rest;
        s->id = strtoll(text + 4, &rest, 10);
        s->has_id = !*rest;
    } else if (!strncmp(text, "event: ", 7)) snprintf(s->name, sizeof s->name, "%s", text + 7);
    else if (!strncmp(text, "retry: ", 7)) s->retry = atoll(text + 7);
}

static void keep(struct stream *s, const char *data, size_t size) {
    if (s->len + size + 1 > s->cap) {
        s->cap = (s->len + size + 1) * 2;
        s->line = realloc(s->line, s->cap);
        if (!s->line) die("realloc");
    }
    memcpy(s->line + s->len, data, size);
    s->len += size;
}

static void take_body(struct stream *s, char *data, size_t size) {
    while (size) {
        char *end = memchr(data, '\n', size);
        size_t piece = end ? (size_t)(end - data) + 1 : size;
        if (!end) {
            keep(s, data, size);
            return;
        }
        if (s->len) {
            keep(s, data, piece);
            size_t whole = s->len - 1;
            s->len = 0;
            take_line(s, s->line, whole);
        } else {
            take_line(s, data, piece - 1);
        }
        data += piece;
        size -= piece;
    }
}

/* False when the body is over. */
static int take_chunks(struct stream *s, char *data, size_t size) {
    while (size) {
        if (s->part == DATA) {
            size_t piece = (i64)size < s->left ? size : (size_t)s->left;
            take_body(s, data, piece);
            data += piece;
            size -= piece;
            s->left -= piece;
            if (!s->left) s->part = AFTER;
        } else {
            char c = *data++;
            size--;
            if (s->part == AFTER) {
                if (c == '\n') s->part = SIZE;
            } else if (c == '\n') {
                if (!s->left) return 0;
                s->part = DATA;
            } else if (c != '\r') {
                int digit = c <= '9' ? c - '0' : (c | 32) - 'a' + 10;
                s->left = s->left * 16 + digit;
            }
        }
    }
    return 1;
}

/* False when the connection is not to be read any more. */
static int take_headers(struct stream *s, char *data, size_t size) {
    keep(s, data, size);
    s->line[s->len] = 0;
    char *end = strstr(s->line, "\r\n\r\n");
    if (!end) return 1;
    int status = s->len > 12 ? atoi(s->line + 9) : 0;
    if (status != 200) {
        refused[status > 0 && status < 600 ? status : 0]++;
        leave(s, status == 204 ? -1 : 300 + random() % 400);
        return 0;
    }
    *end = 0;
    s->chunked = strcasestr(s->line, "transfer-encoding: chunked") != NULL;
    s->part = SIZE;
    s->left = 0;
    s->state = BODY;
    inflight--;
    ready++;
    s->since = now_us();
    if (s->connects > 1) s->returned = s->since / 1000;
    size_t rest = s->len - (end + 4 - s->line);
    char *copy = malloc(rest + 1);
    memcpy(copy, end + 4, rest);
    s->len = 0;
    int more = 1;
    if (rest && s->chunked) more = take_chunks(s, copy, rest);
    else if (rest) take_body(s, copy, rest);
    free(copy);
    return more ? 1 : -1;
}

static void read_stream(struct stream *s) {
    static char buffer[262144 + 1];
    ssize_t size = recv(s->fd, buffer, sizeof buffer - 1, 0);
    if (size < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (size <= 0) {
        resets++;
        leave(s, s->retry > 0 ? s->retry : 300 + random() % 400);
        return;
    }
    bytes_in += size;
    int more = 1;
    if (s->state == HEADERS) more = take_headers(s, buffer, size);
    else if (s->chunked) more = take_chunks(s, buffer, size) ? 1 : -1;
    else take_body(s, buffer, size);
    if (more < 0) { /* the server has ended the stream in good order */
        ended++;
        leave(s, s->retry > 0 ? s->retry : 300 + random() % 400);
    }
}

static void open_more(void) {
    while (opening && inflight < max_opening && next_open < count) connect_stream(&streams[next_open++]);
    if (!retrying) return;
    i64 now = now_us();
    for (int i = 0; i < count && inflight < max_opening; i++)
        if (streams[i].state == IDLE && streams[i].next_try && streams[i].next_try <= now) {
            streams[i].next_try = 0;
            retrying--;
            connect_stream(&streams[i]);
        }
}

static double quantile(double share) {
    i64 rank = (i64)(share * timed), seen = 0;
    for (int i = 0; i < BUCKETS; i++)
        if ((seen += histogram[i]) > rank) return (i + 0.5) / 10;
    return 0;
}

static void print_stats(void) {
    i64 low = -1;
    int dead = 0, behind = 0;
    for (int i = 0; i < count; i++) {
        if (low < 0 || streams[i].last < low) low = streams[i].last;
        dead += streams[i].state == DEAD;
        behind += want && !streams[i].stalled && streams[i].last < want[streams[i].visit];
    }
    printf("{\"streams\":%d,\"ready\":%lld,\"dead\":%d,\"deliveries\":%lld,\"bytes\":%lld,\"heartbeats\":%lld,"
           "\"gaps\":%lld,\"leaps\":%lld,\"lost\":%lld,\"doubled\":%lld,\"reordered\":%lld,\"bad_ids\":%lld,\"ended\":%lld,"
           "\"resets\":%lld,\"unreachable\":%lld,\"reconnects\":%lld,\"named_open\":%lld,\"named_end\":%lld,\"named_drain\":%lld,"
           "\"lowest\":%lld,\"behind\":%d,\"timed\":%lld,\"p50\":%.2f,\"p95\":%.2f,\"p99\":%.2f,\"max\":%.2f,"
           "\"refused\":{",
           count, ready, dead, deliveries, bytes_in, beats, gaps, leaps, lost, doubled, reordered, bad_ids, ended, resets,
           unreachable, reconnects, named_open, named_end, named_drain, low, behind, timed, quantile(.5), quantile(.95),
           quantile(.99), latency_max / 1000.0);
    const char *comma = "";
    for (int i = 0; i < 600; i++)
        if (refused[i]) {
            printf("%s\"%d\":%lld", comma, i, refused[i]);
            comma = ",";
        }
    puts("}}");
}

static void print_behind(void) {
    int behind = 0;
    for (int i = 0; i < count; i++)
        behind += want && !streams[i].stalled && streams[i].last < want[streams[i].visit];
    printf("{\"behind\":%d,\"deliveries\":%lld,\"ready\":%lld}\n", behind, deliveries, ready);
}

static void print_dump(void) {
    putchar('[');
    for (int i = 0; i < count; i++) {
        struct stream *s = &streams[i];
        printf("%s[%d,%d,[", i ? "," : "", s->visit, s->connects);
        for (int k = 0; k < s->given_count; k++) printf("%s[%lld,%u]", k ? "," : "", s->given[k].seq, s->given[k].crc);
        printf("]]");
    }
    puts("]");
}

static void print_violations(void) {
    putchar('[');
    for (int i = 0; i < violation_count; i++) printf("%s%s", i ? "," : "", violations[i]);
    puts("]");
}

static int by_time(const void *a, const void *b) {
    i64 x = *(const i64 *)a, y = *(const i64 *)b;
    return x < y ? -1 : x > y;
}

static void print_returns(void) {
    i64 *times = malloc((count + 1) * sizeof *times);
    int n = 0;
    if (!times) die("malloc");
    for (int i = 0; i < count; i++)
        if (streams[i].returned) times[n++] = streams[i].returned;
    qsort(times, n, sizeof *times, by_time);
    putchar('[');
    for (int i = 0; i < n; i++) printf("%s%lld", i ? "," : "", times[i]);
    puts("]");
    free(times);
}

static void reset(void) {
    memset(histogram, 0, sizeof histogram);
    memset(refused, 0, sizeof refused);
    deliveries = bytes_in = beats = timed = latency_max = ended = resets = unreachable = reconnects = 0;
    named_open = named_end = named_drain = 0;
    puts("{}");
}

static void stall(int first, int number, int stalled) {
    for (int i = first; i < first + number && i < count; i++) {
        struct stream *s = &streams[i];
        if (s->stalled == stalled) continue;
        s->stalled = stalled;
        s->since = now_us();
        if (s->fd < 0 || s->state != BODY) continue;
        struct epoll_event e = {.events = EPOLLIN, .data.ptr = s};
        epoll_ctl(epfd, stalled ? EPOLL_CTL_DEL : EPOLL_CTL_ADD, s->fd, &e);
    }
    puts("{}");
}

/* Both answer how many streams were open and reading. */
static void part(int first, int number, int halfway) {
    int parted = 0;
    for (int i = first; i < first + number && i < count; i++) {
        struct stream *s = &streams[i];
        if (s->state != BODY || s->stalled) continue;
        if (halfway) shutdown(s->fd, SHUT_WR);
        else leave(s, s->retry > 0 ? s->retry : 300 + random() % 400);
        parted++;
    }
    printf("{\"parted\":%d}\n", parted);
}

static void mark(char *text) {
    for (int i = 0; i < visits && text && *text; i++) want[i] = strtoll(text, &text, 10);
    puts("{}");
}

static void obey(char *order) {
    int a, b;
    if (!strcmp(order, "open")) opening = 1, puts("{}");
    else if (!strcmp(order, "stats")) print_stats();
    else if (!strcmp(order, "behind")) print_behind();
    else if (!strcmp(order, "reset")) reset();
    else if (!strcmp(order, "dump")) print_dump();
    else if (!strcmp(order, "violations")) print_violations();
    else if (!strcmp(order, "returns")) print_returns();
    else if (sscanf(order, "stall %d %d", &a, &b) == 2) stall(a, b, 1);
    else if (sscanf(order, "drain %d %d", &a, &b) == 2) stall(a, b, 0);
    else if (sscanf(order, "leave %d %d", &a, &b) == 2) part(a, b, 0);
    else if (sscanf(order, "half %d %d", &a, &b) == 2) part(a, b, 1);
    else if (!strncmp(order, "mark ", 5)) mark(order + 5);
    else if (!strcmp(order, "quit")) exit(0);
    else puts("{\"error\":\"not an order\"}");
    fflush(stdout);
}

static void read_orders(void) {
    static char buffer[1 << 20];
    static size_t len;
    ssize_t size = read(0, buffer + len, sizeof buffer - len);
    if (size <= 0) exit(0);
    len += size;
    char *end;
    while ((end = memchr(buffer, '\n', len))) {
        *end = 0;
        obey(buffer);
        size_t used = end + 1 - buffer;
        memmove(buffer, end + 1, len -= used);
    }
    if (len == sizeof buffer) exit(2);
}

static void load(const char *path) {
    FILE *file = fopen(path, "r");
    char *line = NULL;
    size_t cap = 0;
    int room = 0;
    if (!file) die(path);
    while (getline(&line, &cap, file) > 0) {
        if (count == room) {
            room = room ? room * 2 : 1024;
            streams = realloc(streams, room * sizeof *streams);
        }
        struct stream *s = &streams[count++];
        memset(s, 0, sizeof *s);
        char *rest = line;
        s->port = atoi(strsep(&rest, "\t"));
        s->path = strdup(strsep(&rest, "\t"));
        s->header = strdup(strsep(&rest, "\t"));
        s->visit = atoi(rest);
        s->fd = -1;
        s->last = from;
        if (s->visit >= visits) visits = s->visit + 1;
    }
    fclose(file);
    want = calloc(visits ? visits : 1, sizeof *want);
}

int main(int argc, char **argv) {
    if (argc < 2) return 2;
    for (int i = 2; i < argc; i++) {
        i64 value = i + 1 < argc ? atoll(argv[i + 1]) : 0;
        if (!strcmp(argv[i], "--reconnect")) reconnect = 1;
        else if (!strcmp(argv[i], "--next-port")) next_port = (int)value, i++;
        else if (!strcmp(argv[i], "--crc")) use_crc = 1;
        else if (!strcmp(argv[i], "--from")) from = value, i++;
        else if (!strcmp(argv[i], "--opening")) max_opening = (int)value, i++;
        else if (!strcmp(argv[i], "--rcvbuf")) rcvbuf = (int)value, i++;
        else if (!strcmp(argv[i], "--per-source")) per_source = (int)value, i++;
        else return 2;
    }
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    srandom(1);
    make_crc_table();
    load(argv[1]);
    epfd = epoll_create1(0);
    struct epoll_event orders = {.events = EPOLLIN, .data.ptr = NULL}, events[512];
    epoll_ctl(epfd, EPOLL_CTL_ADD, 0, &orders);
    for (;;) {
        open_more();
        int n = epoll_wait(epfd, events, 512, retrying || (opening && next_open < count) ? 10 : 1000);
        for (int i = 0; i < n; i++) {
            struct stream *s = events[i].data.ptr;
            if (!s) read_orders();
            else if (s->fd < 0) continue;
            else if (s->state == CONNECTING) {
                int error = 0;
                socklen_t size = sizeof error;
                getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &size);
                if (error) unreachable++, leave(s, 50 + random() % 100);
                else send_request(s);
            } else read_stream(s);
        }
    }
}
