#!/usr/bin/env bash
# asynq refuses a unique task as a duplicate of one that has been processed, was deleted, or has never been in the queue.
#
# Expected: a task enqueued with Unique is refused while another like it is there; once that is processed successfully, or the TTL is over, another may be
# enqueued (asynq's documentation). A deleted task gives the lock free (its CHANGELOG, 0.17.2).
# What happens: that is so for a task alone. One with Group is deleted with the group when the handler of the group has succeeded, and its lock is forgotten; so it
# is when the inspector deletes a task that waits in a group. And who is refused with ErrTaskIDConflict, because a completed task of that ID is retained, has
# taken the lock before it was refused. Each time the queue is empty, and the next one is a duplicate of nothing, for the whole TTL: an hour here.
# Seen with: asynq 0.26.0, Redis 7.0.15.
# Who cares: anybody who gives a long TTL, since the lock "is released when the task is done": what should be done again is not enqueued, and callers who take
# ErrDuplicateTask for "it is on its way" do not even log it. Use a TTL of the group's grace period, and not Unique together with TaskID.
set -euo pipefail
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

redis
port=$(port)
server "$port"
program unique github.com/hibiken/asynq@v0.26.0 <<'GO'
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/hibiken/asynq"
)

var client *asynq.Client

// put enqueues a task that is to be unique for an hour.
func put(payload string, opts ...asynq.Option) (*asynq.TaskInfo, error) {
	return client.Enqueue(asynq.NewTask("mail", []byte(payload)), append(opts, asynq.Unique(time.Hour))...)
}

// again enqueues it once more, and tries for 5 s while it is a duplicate.
func again(payload string, opts ...asynq.Option) (err error) {
	for range 50 {
		if _, err = put(payload, opts...); !errors.Is(err, asynq.ErrDuplicateTask) {
			return err
		}
		time.Sleep(100 * time.Millisecond)
	}
	return err
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func main() {
	redis := asynq.RedisClientOpt{Addr: os.Args[1]}
	client = asynq.NewClient(redis)
	inspector := asynq.NewInspector(redis)
	done := make(chan string, 10)
	server := asynq.NewServer(redis, asynq.Config{
		LogLevel:         asynq.FatalLevel,
		GroupGracePeriod: time.Second,
		GroupAggregator: asynq.GroupAggregatorFunc(func(string, []*asynq.Task) *asynq.Task {
			return asynq.NewTask("mails", nil)
		}),
	})
	check(server.Start(asynq.HandlerFunc(func(_ context.Context, t *asynq.Task) error {
		done <- t.Type()
		return nil
	})))

	_, err := put("alone")
	check(err)
	<-done
	alone := again("alone")
	<-done
	fmt.Println("alone, processed, again:            ", alone)

	_, err = put("grouped", asynq.Group("g"))
	check(err)
	<-done
	grouped := again("grouped", asynq.Group("g"))
	fmt.Println("in a group, processed, again:       ", grouped)

	retained := []asynq.Option{asynq.TaskID("42"), asynq.Retention(time.Hour)}
	_, err = put("retained", retained...)
	check(err)
	<-done
	conflict := again("retained", retained...)
	fmt.Println("with the ID of one that is retained:", conflict)
	refused := again("retained")
	fmt.Println("without an ID, then:                ", refused)

	task, err := put("deleted", asynq.ProcessIn(time.Hour))
	check(err)
	check(inspector.DeleteTask("default", task.ID))
	server.Shutdown() // So that nobody processes the group.
	task, err = put("deleted", asynq.Group("g"))
	fmt.Println("scheduled, deleted, again:          ", err)
	check(err)
	check(inspector.DeleteTask("default", task.ID))
	deleted := again("deleted")
	fmt.Println("in a group, deleted, again:         ", deleted)

	queue, err := inspector.GetQueueInfo("default")
	check(err)
	waiting := queue.Size - queue.Completed
	fmt.Println("in the queue, other than completed: ", waiting)
	duplicate := errors.Is(grouped, asynq.ErrDuplicateTask) && errors.Is(refused, asynq.ErrDuplicateTask) && errors.Is(deleted, asynq.ErrDuplicateTask)
	if alone != nil || !errors.Is(conflict, asynq.ErrTaskIDConflict) || !duplicate || waiting != 0 {
		os.Exit(1)
	}
}
GO
redis-server --version
"$work/unique/program" "127.0.0.1:$port" || fail "the locks go with the tasks"
