package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sync/errgroup"
)

// deposits is how many each user makes, all at once.
const deposits = 25

// tryTwo makes deposits at two servers that share the balances.
func tryTwo(ctx context.Context, urls []string, dir string) (err error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var addrs []string
	for range 2 {
		addr, served, err := serve(ctx, urls, "127.0.0.1:0", dir)
		if err != nil {
			return err
		}
		defer func() {
			stop()
			if failed := served(); err == nil {
				err = failed
			}
		}()
		addrs = append(addrs, addr)
	}
	users := []string{"ann", "ben"}
	if err := depositAll(ctx, addrs, users); err != nil {
		return err
	}
	for _, user := range users {
		text, err := os.ReadFile(filepath.Join(dir, user))
		if err != nil {
			return err
		}
		balance := strings.TrimSpace(string(text))
		fmt.Printf("%s has %s, after %d deposits of 1 at two servers\n", user, balance, deposits)
		if balance != fmt.Sprint(deposits) {
			return fmt.Errorf("%s should have %d", user, deposits)
		}
	}
	return nil
}

// depositAll makes every user's deposits at once, at all servers by turns.
func depositAll(ctx context.Context, addrs, users []string) error {
	client := new(http.Client)
	client.Transport = &http.Transport{DisableKeepAlives: true}
	clients, ctx := errgroup.WithContext(ctx)
	for n := range deposits {
		for _, user := range users {
			clients.Go(func() error {
				return deposit(ctx, client, "http://"+addrs[n%len(addrs)]+"/users/"+user+"/deposits")
			})
		}
	}
	return clients.Wait()
}

func deposit(ctx context.Context, client *http.Client, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", response.Status, strings.TrimSpace(string(text)))
	}
	return err
}
