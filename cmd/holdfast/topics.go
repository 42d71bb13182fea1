package main

import (
	"maps"
	"slices"
)

// topic is what help explains beside the commands.
type topic struct{ short, text string }

func topicNames() []string { return slices.Sorted(maps.Keys(topics)) }

var topics = map[string]topic{
	"servers": {"how to name the servers, and to keep passwords out of sight", `Every server is one vote, and a lock is held when more than half of them say so. Name
each with --redis, or all of them in HOLDFAST_REDIS, with spaces or commas between:

  redis://[user[:password]@]host[:port][/db]      a server
  rediss://...                                    the same over TLS
  unix:///path/to.sock                            a unix socket
  redis-sentinel://host,host,host/db?master=NAME  the master that these sentinels name
  redis-cluster://host,host                       a Redis Cluster, as one server
  host:port                                       as redis://host:port

Parameters behind a question mark say the rest: ?ssl_ca_certs=FILE, &ssl_certfile=FILE,
&ssl_keyfile=FILE and more, all in docs/operations.md. Percent-encode special characters
in a password: @ is %40, / is %2F, ? is %3F, # is %23, % is %25.

Everybody who is on a machine can read command lines, but not environments: put URLs with
passwords into HOLDFAST_REDIS, or into a file, one URL a line, that --redis-file or
HOLDFAST_REDIS_FILE names; lines that begin with # are comments. A flag counts, whatever
the variables say; both flags, or both variables, are an error. Holdfast shows no
password, in no error and no log, and warns when everybody may read the file.

All who share locks, with this command or with the library, must use the same servers,
the same --prefix, and the same --max-ttl.`},

	"exit-codes": {"what each exit code means", `  0     done. status: the question could be answered; doctor: the servers
        are safe to lock with
  1     release: that token does not hold the lock. doctor: something endangers safety
  64    the command line is wrong, or what it names: an unknown flag, a bad URL, the
        same server twice
  69    too few servers answer, or confirm in time: nothing is known about the lock.
        doctor: too few can vote, or not enough is known of them
  70    run: the lock was lost while the command ran, or --max-hold is over
  75    run: the lock was not to be had (-n, -w). -E CODE makes it CODE
  78    the servers refuse for a reason that waiting does not mend: a password, a
        permission, or something else under that name
  126   run: the command cannot be executed
  127   run: the command does not exist
  128+N a signal, the number N, has ended the waiting or the command: 130 for ^C

  Else run returns what its command returned.`},

	"audit": {"what --audit writes down, and where", `run and release take --audit FILE, or --audit syslog, and write an object of JSON on a
line of its own when a lock is

  grant    acquired
  release  given back, by its command or by its token. cause: released; detached, when
           --at-least has left it to its TTL; closed, when nothing was run under it
  loss     lost while it was relied on. cause: expired, gone, stolen, max_hold
  force    taken away by release --force. owner and holder are those it was taken
           from; user, pid and host those who took it. error: it may have failed

with time (RFC 3339, UTC), event, resource, owner, holder (the token, abbreviated),
fence, cause, held_ms, and the user, pid and host that have written it. Who loses a lock
by force writes loss, gone: who took it is in the file of who did.

A FILE is created with mode 0600. Each line is one write to its end, so that several
processes may share it, and the file is opened for each, so that it may be moved away.
When it cannot be opened at the start, nothing is locked: exit code 64. When a line
cannot be written later, a warning says so once, and the work goes on: a full disk
should not stop it. Nothing waits for a line, but the end, for a second at most.
A process that is killed writes nothing: a grant without an end.`},

	"environment": {"the variables that are read, and those that a command finds", `Read:
  HOLDFAST_REDIS     the servers, when no flag names them
  HOLDFAST_REDIS_FILE
                     a file with the servers, a URL a line, in the place of the former
  HOLDFAST_TOKEN     the token for release, when no --token is given
  HOLDFAST_FIRST_DEPLOYMENT
                     anything: as --first-deployment. For tests; elsewhere unset it when
                     the servers have been locked on

Set by run for its command:
  HOLDFAST_RESOURCE, HOLDFAST_TOKEN, HOLDFAST_FENCE, HOLDFAST_DEADLINE
  and whatever was set before, but for HOLDFAST_REDIS and HOLDFAST_REDIS_FILE, which it
  finds only with --pass-redis. See ` + "`holdfast help run`" + `.`},
}
