package main

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/bsm/redislock"
	"github.com/go-redsync/redsync/v4"
	redsyncredis "github.com/go-redsync/redsync/v4/redis"
	"github.com/go-redsync/redsync/v4/redis/goredis/v9"
	"github.com/redis/go-redis/v9"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/internal/redistest"
)

// coexist starts servers, and clients of both kinds.
func coexist(t *testing.T, n int) (*engine.Engine, []*redis.Client) {
	t.Helper()
	urls := redistest.URLs(redistest.StartN(t, n))
	locks, err := engine.Open(t.Context(), urls, engine.Config{})
	if err != nil {
		t.Fatalf("engine.Open: %v", err)
	}
	t.Cleanup(func() { locks.Close(context.Background()) })
	var clients []*redis.Client
	for _, url := range urls {
		options, err := redis.ParseURL(url)
		if err != nil {
			t.Fatalf("redis.ParseURL: %v", err)
		}
		client := redis.NewClient(options)
		t.Cleanup(func() { client.Close() })
		clients = append(clients, client)
	}
	return locks, clients
}

// What docs/from-redsync.md says of processes that still use redsync.
func TestRedsyncAndHoldfastExcludeEachOther(t *testing.T) {
	needRedis(t)
	locks, clients := coexist(t, 3)
	var pools []redsyncredis.Pool
	for _, client := range clients {
		pools = append(pools, goredis.NewPool(client))
	}
	mutex := redsync.New(pools...).NewMutex("orders/42")

	held, err := locks.Acquire(t.Context(), "orders/42")
	if err != nil {
		t.Fatalf("locks.Acquire: %v", err)
	}
	var taken *redsync.ErrTaken
	if err := mutex.TryLock(); !errors.As(err, &taken) {
		t.Errorf("Holdfast holds it, and redsync says %v", err)
	}
	if err := held.Release(t.Context()); err != nil {
		t.Fatalf("held.Release: %v", err)
	}

	if err := mutex.Lock(); err != nil {
		t.Fatalf("mutex.Lock: %v", err)
	}
	if _, err := locks.TryAcquire(t.Context(), "orders/42"); !errors.Is(err, engine.ErrHeld) {
		t.Errorf("redsync holds it, and Holdfast says %v", err)
	}
	adopted, err := locks.Adopt(t.Context(), "orders/42", mutex.Value())
	if err != nil {
		t.Fatalf("locks.Adopt: %v", err)
	}
	if ok, err := mutex.Unlock(); ok || err == nil {
		t.Errorf("redsync says that it has unlocked what was adopted: %v, %v", ok, err)
	}
	if err := adopted.Extend(t.Context(), 0); err != nil {
		t.Errorf("adopted.Extend: %v", err)
	}
	if err := adopted.Release(t.Context()); err != nil {
		t.Errorf("adopted.Release: %v", err)
	}
	if _, err := mutex.Extend(); !errors.As(err, &taken) { // with or without the name of a holder
		t.Errorf("redsync extends a key that is not there, and says %v", err)
	}
	if _, err := mutex.Unlock(); !errors.Is(err, redsync.ErrLockAlreadyExpired) {
		t.Errorf("redsync unlocks a key that is not there, and says %v", err)
	}
}

// What docs/from-redislock.md says of processes that still use redislock.
func TestRedislockAndHoldfastExcludeEachOther(t *testing.T) {
	needRedis(t)
	locks, clients := coexist(t, 1)
	theirs := redislock.New(clients[0])

	held, err := locks.Acquire(t.Context(), "orders/42")
	if err != nil {
		t.Fatalf("locks.Acquire: %v", err)
	}
	if _, err := theirs.Obtain(t.Context(), "orders/42", time.Minute, nil); !errors.Is(err, redislock.ErrNotObtained) {
		t.Errorf("Holdfast holds it, and redislock says %v", err)
	}
	if err := held.Release(t.Context()); err != nil {
		t.Fatalf("held.Release: %v", err)
	}

	lock, err := theirs.Obtain(t.Context(), "orders/42", time.Minute, &redislock.Options{Metadata: "host-1"})
	if err != nil {
		t.Fatalf("theirs.Obtain: %v", err)
	}
	if _, err := locks.TryAcquire(t.Context(), "orders/42"); !errors.Is(err, engine.ErrHeld) {
		t.Errorf("redislock holds it, and Holdfast says %v", err)
	}
	adopted, err := locks.Adopt(t.Context(), "orders/42", lock.Token()+lock.Metadata())
	if err != nil {
		t.Fatalf("what redislock holds cannot be adopted: %v", err)
	}
	if err := lock.Release(t.Context()); !errors.Is(err, redislock.ErrLockNotHeld) {
		t.Errorf("redislock has released what was adopted: %v", err)
	}
	if err := adopted.Extend(t.Context(), 0); err != nil {
		t.Errorf("adopted.Extend: %v", err)
	}
}
