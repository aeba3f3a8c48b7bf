/*
 * The least that a fan-out can cost: one thread that writes each event to every subscriber, a write(2) each.
 *
 *   loop PORT
 *
 * GET /readyz answers 200. POST /publish writes its body to all subscribers as one chunk. Any other GET subscribes. It
 * asks nobody who he is, keeps nothing, and drops a subscriber whose socket is full.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MOST = 65536, BUFFER = 1 << 18 };

static const char HEAD[] = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
static const char DONE[] = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

static int subscribers[MOST], count;
static char *requests[MOST];
static size_t lengths[MOST];

static void give_up(const char *what) {
    perror(what);
    exit(1);
}

static void drop(int fd) {
    for (int i = 0; i < count; i++)
        if (subscribers[i] == fd) subscribers[i--] = subscribers[--count];
    free(requests[fd]);
    requests[fd] = NULL;
    close(fd);
}

static void publish(const char *body, size_t size) {
    static char chunk[BUFFER + 32];
    int head = sprintf(chunk, "%zx\r\n", size);
    memcpy(chunk + head, body, size);
    memcpy(chunk + head + size, "\r\n", 2);
    for (int i = 0; i < count; i++)
        if (write(subscribers[i], chunk, head + size + 2) != (ssize_t)(head + size + 2)) drop(subscribers[i--]);
}

/* Answer what is whole; 0 when the connection is over. */
static int answer(int fd) {
    char *request = requests[fd], *end = memmem(request, lengths[fd], "\r\n\r\n", 4);
    if (end == NULL) return 1;
    if (memcmp(request, "POST", 4) == 0) {
        *end = 0;
        char *named = strcasestr(request, "content-length:");
        *end = '\r';
        size_t size = named ? strtoul(named + 15, NULL, 10) : 0, whole = end + 4 - request + size;
        if (lengths[fd] < whole) return 1;
        publish(end + 4, size);
        lengths[fd] = 0;
        return write(fd, DONE, sizeof DONE - 1) > 0;
    }
    lengths[fd] = 0;
    if (memcmp(request, "GET /readyz", 11) == 0) return write(fd, DONE, sizeof DONE - 1) > 0;
    if (write(fd, HEAD, sizeof HEAD - 1) < 0) return 0;
    subscribers[count++] = fd;
    return 1;
}

int main(int argc, char **argv) {
    if (argc != 2) return 2;
    signal(SIGPIPE, SIG_IGN);
    int listener = socket(AF_INET, SOCK_STREAM, 0), on = 1, all = epoll_create1(0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1])), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    if (bind(listener, (struct sockaddr *)&at, sizeof at) || listen(listener, 4096)) give_up("listen");
    struct epoll_event one = {.events = EPOLLIN, .data.fd = listener}, ready[256];
    epoll_ctl(all, EPOLL_CTL_ADD, listener, &one);
    for (;;) {
        int found = epoll_wait(all, ready, 256, -1);
        for (int i = 0; i < found; i++) {
            int fd = ready[i].data.fd;
            if (fd == listener) {
                int client = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
                if (client < 0 || client >= MOST) give_up("accept");
                requests[client] = malloc(BUFFER);
                lengths[client] = 0;
                one.data.fd = client;
                epoll_ctl(all, EPOLL_CTL_ADD, client, &one);
                continue;
            }
            if (requests[fd] == NULL) continue; /* dropped in this turn */
            ssize_t got = read(fd, requests[fd] + lengths[fd], BUFFER - lengths[fd]);
            if (got <= 0 && !(got < 0 && errno == EAGAIN)) drop(fd);
            else if (got > 0) {
                lengths[fd] += got;
                if (!answer(fd)) drop(fd);
            }
        }
    }
}
