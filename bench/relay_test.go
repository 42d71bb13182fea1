package main

import (
	"bytes"
	"io"
	"net"
	"testing"
	"time"
)

// echo is a server that sends everything back.
func echo(t *testing.T) *server {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("net.Listen: %v", err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = io.Copy(conn, conn)
	}()
	t.Cleanup(func() {
		_ = listener.Close()
		<-ended
	})
	return &server{network: "tcp", addr: listener.Addr().String()}
}

func TestRelayDelaysAndKeepsOrder(t *testing.T) {
	const trip = 20 * time.Millisecond
	r, err := startRelay(echo(t), trip)
	if err != nil {
		t.Fatalf("startRelay: %v", err)
	}
	defer r.close()
	conn, err := r.behind().dial(t.Context())
	if err != nil {
		t.Fatalf("relay: %v", err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))

	start := time.Now()
	var sent []byte
	for i := range 1000 {
		part := bytes.Repeat([]byte{byte(i)}, 100)
		sent = append(sent, part...)
		if _, err := conn.Write(part); err != nil {
			t.Fatalf("conn.Write: %v", err)
		}
	}
	got := make([]byte, len(sent))
	if _, err := io.ReadFull(conn, got[:1]); err != nil {
		t.Fatalf("io.ReadFull: %v", err)
	}
	if took := time.Since(start); took < trip {
		t.Errorf("the first byte was back after %v, want %v at least", took, trip)
	}
	if _, err := io.ReadFull(conn, got[1:]); err != nil {
		t.Fatalf("io.ReadFull: %v", err)
	}
	if !bytes.Equal(got, sent) {
		t.Error("what came back is not what was sent")
	}
}

// TestRelayCloses: goleak sees the goroutines of a relay that does not.
func TestRelayCloses(t *testing.T) {
	r, err := startRelay(echo(t), 0)
	if err != nil {
		t.Fatalf("startRelay: %v", err)
	}
	conn, err := r.behind().dial(t.Context())
	if err != nil {
		t.Fatalf("relay: %v", err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("x")); err != nil {
		t.Fatalf("conn.Write: %v", err)
	}
	if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
		t.Fatalf("io.ReadFull: %v", err)
	}
	r.close()
	if _, err := conn.Read(make([]byte, 1)); err == nil {
		t.Error("the connection outlives its relay")
	}
}
