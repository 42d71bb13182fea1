package main

import (
	"maps"
	"slices"
)

// topic is what help explains beside the commands.
type topic struct{ short, text string }

func topicNames() []string { return slices.Sorted(maps.Keys(topics)) }

var topics = map[string]topic{
	"instances": {"how to name the instances, and to keep passwords out of sight", `An instance is one independent Redis, and one vote. A lock is held when more than half
of the instances say so. Name each with --redis, or all of them in HOLDFAST_REDIS, with
spaces or commas between:

  redis://[user[:password]@]host[:port][/db]      a server
  rediss://...                                    the same over TLS
  unix:///path/to.sock                            a unix socket
  redis-sentinel://host,host,host/db?master=NAME  the master that these sentinels name
  redis-cluster://host,host                       a Redis Cluster, as one instance
  host:port                                       as redis://host:port

Parameters behind a question mark say the rest: ?ssl_ca_certs=FILE, &ssl_certfile=FILE,
&ssl_keyfile=FILE and more, all in docs/operations.md. Percent-encode special characters
in a password: @ is %40, / is %2F, ? is %3F, # is %23, % is %25.

Every user of a machine can read command lines, but not environments. So put URLs with
passwords into HOLDFAST_REDIS, or into a file that --redis-file or HOLDFAST_REDIS_FILE
names. It has one URL a line; lines that begin with # are comments. A flag wins over the
variables. Both flags, or both variables, are an error. Holdfast shows no password, in no
error and no log. It warns when every user may read the file.

All programs that share locks, with this command or with the library, must use the same
instances, the same --prefix, and the same --max-ttl.`},

	"exit-codes": {"what each exit code means", `  0     done. status: the question could be answered; doctor: the instances
        are safe to lock with
  1     release: that token does not hold the lock. doctor: something endangers safety
        observe --once: nobody leads
  64    the command line is wrong, or something that it names: an unknown flag, a bad
        URL, the same server twice
  69    too few instances answer, or confirm in time: nothing is known about the lock.
        doctor: too few can vote, or not enough is known of them
  70    run: the lock was lost while the command ran, or --max-hold is over
        elect: the lead was lost when the command had just ended
  75    run: the lock was not granted (-n, -w). -E CODE makes it CODE
  78    the instances refuse for a reason that waiting does not mend: a password, a
        permission, or something else under that name
  126   run, elect: the command cannot be executed
  127   run, elect: the command does not exist
  128+N signal number N has ended the waiting or the command: 130 for ^C

  Else run and elect return the exit code of their command.`},

	"audit": {"what --audit writes down, and where", `run and release take --audit FILE, or --audit syslog. They write an object of JSON, on
a line of its own, when a lock is

  grant    acquired
  release  given back, by its command or by its token. cause: released; detached, when
           --at-least has left it to its TTL; closed, when nothing was run under it
  loss     lost while it was relied on. cause: expired, gone, stolen, max_hold
  force    taken away by release --force. owner and holder are the former holder's;
           user, pid and host are those of the process that took it. error: it may
           have failed

with time (RFC 3339, UTC), event, resource, owner, holder (the token, abbreviated),
fence, cause, held_ms, and the user, pid and host of the process that writes. A process
that loses a lock by force writes loss, gone. The process that took it writes force.

A FILE is created with mode 0600. Each line is one write to its end, so several
processes may share it. The file is opened for each line, so it may be moved away. When
it cannot be opened at the start, nothing is locked: exit code 64. When a line cannot be
written later, a warning says so once, and the work goes on: a full disk should not stop
it. Only the end of the process waits for the lines, for a second at most. A process
that is killed writes nothing: its grant has no end.`},

	"environment": {"the variables that are read, and those that a command finds", `Read:
  HOLDFAST_REDIS     the instances, when no flag names them
  HOLDFAST_REDIS_FILE
                     a file with the instances, one URL a line, in the place of HOLDFAST_REDIS
  HOLDFAST_TOKEN     the token for release, when no --token is given
  HOLDFAST_FIRST_DEPLOYMENT
                     any value: as --first-deployment. For tests; elsewhere unset it when
                     the instances have been locked on

Set by run and elect for their command:
  HOLDFAST_RESOURCE, HOLDFAST_TOKEN, HOLDFAST_FENCE, HOLDFAST_SLOTS, HOLDFAST_DEADLINE
  and all that was set before. HOLDFAST_REDIS and HOLDFAST_REDIS_FILE are passed on only
  with --pass-redis. See ` + "`holdfast help run`" + `.`},
}
