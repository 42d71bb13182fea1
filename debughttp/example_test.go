package debughttp_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/alicebob/miniredis/v2"

	"github.com/holdfast-go/holdfast/debughttp"
	"github.com/holdfast-go/holdfast/engine"
)

// Beside net/http/pprof, on a port that is not for the world.
func ExampleHandler() {
	server := miniredis.NewMiniRedis() // in place of real ones
	if err := server.Start(); err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	ctx := context.Background()
	locks, err := engine.Open(ctx, []string{"redis://" + server.Addr()}, engine.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer locks.Close(ctx)

	mux := http.NewServeMux()
	mux.Handle("/debug/locks", debughttp.Handler(locks))

	// What curl -H 'Accept: application/json' localhost:6060/debug/locks does.
	request := httptest.NewRequestWithContext(ctx, http.MethodGet, "/debug/locks", nil)
	request.Header.Set("Accept", "application/json")
	answer := httptest.NewRecorder()
	mux.ServeHTTP(answer, request)
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		log.Fatal(err)
	}
	fmt.Println(answer.Code, answer.Header().Get("Content-Type"))
	// Output: 200 application/json
}
