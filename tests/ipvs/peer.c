// Both ends of the test's connections: a server that answers each line, and users who ask over connections of some length.
//
//   peer serve PORT
//   peer ask ADDRESS PORT CONNECTIONS     one begins every 50 ms and asks 20 times, every 50 ms; then it is closed
//
// `ask` prints how many of its connections waited for an answer in vain: "200 connections, 3 hung, 0 refused".
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { questions = 20, pause_us = 50000, patience_ms = 3000 };
enum outcome { answered = 0, hung = 1, refused = 2 };

static struct sockaddr_in address(const char* text, const char* port) {
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(port))};
  inet_pton(AF_INET, text, &at.sin_addr);
  return at;
}

static int serve(const char* port) {
  struct sockaddr_in at = address("0.0.0.0", port);
  int yes = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  if (bind(listener, (struct sockaddr*)&at, sizeof at) != 0 || listen(listener, 256) != 0) return 1;
  signal(SIGCHLD, SIG_IGN);
  for (;;) {
    int connection = accept(listener, NULL, NULL);
    if (connection < 0) continue;
    if (fork() == 0) {
      char line[16];
      for (ssize_t size; (size = read(connection, line, sizeof line)) > 0;)
        if (write(connection, line, (size_t)size) != size) break;
      _exit(0);
    }
    close(connection);
  }
}

static enum outcome converse(const struct sockaddr_in* to) {
  int connection = socket(AF_INET, SOCK_STREAM, 0);
  alarm(10);  // a connection that is never made ends us: as hung as one without an answer
  if (connect(connection, (const struct sockaddr*)to, sizeof *to) != 0) return refused;
  for (int i = 0; i < questions; ++i) {
    char answer[16];
    struct pollfd wait = {.fd = connection, .events = POLLIN};
    if (write(connection, "?\n", 2) != 2) return refused;
    if (poll(&wait, 1, patience_ms) == 0) return hung;
    if (read(connection, answer, sizeof answer) <= 0) return refused;
    usleep(pause_us);
  }
  close(connection);
  return answered;
}

static int ask(const char* host, const char* port, int connections) {
  struct sockaddr_in to = address(host, port);
  int count[3] = {0, 0, 0};
  for (int i = 0; i < connections; ++i) {
    if (fork() == 0) _exit((int)converse(&to));
    usleep(pause_us);
  }
  for (int status; wait(&status) > 0;) ++count[WIFEXITED(status) ? WEXITSTATUS(status) : hung];
  printf("%d connections, %d hung, %d refused\n", connections, count[hung], count[refused]);
  return 0;
}

int main(int count, char** words) {
  if (count == 3 && strcmp(words[1], "serve") == 0) return serve(words[2]);
  if (count == 5 && strcmp(words[1], "ask") == 0) return ask(words[2], words[3], atoi(words[4]));
  return 2;
}
