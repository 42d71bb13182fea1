package main

var runRow = command{
	name:  "run",
	args:  "RESOURCE -- COMMAND [ARG...]",
	short: "run a command while holding a lock",
	rest:  "command",
	make:  newRun,
	long: `Waits for the lock, runs the command, renews the lock while it runs, and gives it
back when it has ended. Standard input, output and error are the command's own.

What the command leaves running in the background goes on without the lock. With
--wait-group the lock is kept until its whole process group has ended. As PID 1 of a
container, holdfast reaps orphans.

TERM, INT, HUP, QUIT, USR1 and USR2 are passed on to the command and all its
children (its process group). TERM, INT and QUIT are followed by CONT, so that a
stopped command can heed them. While there is no command yet, signals end the waiting
and leave no lock behind. A job that is stopped with ^Z does not renew its lock. If
the lock is gone when the job continues, the command is killed.

When the lock cannot be renewed, the command gets TERM: --grace before the moment at
which the lock may be gone. It gets KILL a tenth of the grace before that moment. So
the command and its process group are dead when somebody else can have the lock. When
the instances answer that the lock is not ours, the command gets TERM at once. They
tell when the lock is deleted or taken by force; with --watch-lock=false that is noticed
with the next renewal, a third of the TTL later at most.

The command finds in its environment
  HOLDFAST_RESOURCE  what is locked
  HOLDFAST_TOKEN     proves that the lock is ours: treat it as a password
  HOLDFAST_FENCE     the fencing token, a number that is higher for each later
                     holder; empty with --fencing=false, --permits or --shared
  HOLDFAST_SLOTS     with --permits: which of them the command has, from 0; else empty
  HOLDFAST_DEADLINE  the moment at which the lock would end without a renewal, as
                     2006-01-02T15:04:05.678Z. It is renewed, so it ends later
but not HOLDFAST_REDIS and HOLDFAST_REDIS_FILE, unless --pass-redis is given.

--audit writes down when the lock was granted, given back or lost, and who held it: see
` + "`holdfast help audit`" + `.

With --all the lock is of several resources, of all or of none: holdfast run --all A B --
COMMAND. Whoever locks one of them is excluded. No order need be kept: two who want the
same resources do not wait for each other. HOLDFAST_RESOURCE has one a line, sorted.

With --permits 3 as many as three hold the lock at once: holdfast run --permits 3 backups
-- COMMAND. All must say --permits: a run without it takes another lock. No two have the
same HOLDFAST_SLOTS at once. With --weight 2 the command takes two of them, or none.

With --shared the command has the lock beside all others who say so: holdfast run
--shared config -- COMMAND. A run without it waits until none of them has the lock, keeps
further ones out while it waits, and has it alone.

With --at-least the lock stays for that long after it was acquired, even if the command
ends before, and however it ends. No process waits for that: the lock ends with its TTL.
A command that ends shortly before may leave the lock for up to --ttl longer.

Instances that were started less than --max-ttl ago may have forgotten who holds which
lock, so they are quarantined. If too many are, nobody gets a lock until they are older,
and a line on standard error says so. When instances are used for the first time,
--first-deployment does not wait.

If holdfast itself is killed (KILL), the lock ends with its TTL, and on Linux the
command gets TERM.

Exit codes: the command's own, or 128 and the signal's number if a signal has ended it;
75, or the code of -E, when the lock was not granted; 69 when too few instances answer;
78 when they refuse, and waiting does not mend it; 70 when the lock was lost while the
command ran, or --max-hold is over; 64 for a wrong command line; 126 and 127 when the
command cannot be executed or found.`,
}
