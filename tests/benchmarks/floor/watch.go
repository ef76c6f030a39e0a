package main

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strings"
	"sync"
)

const (
	metadataOnly = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
	listOnly     = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
)

// job says what to copy: the Secrets of the source whose name has the prefix, to all targets, with the labels.
type job struct {
	Source  cluster
	Targets []cluster
	Prefix  string
	Labels  map[string]string
}

// cluster is one API server and a namespace there.
type cluster struct {
	URL, Token, Namespace string
	client                *http.Client
}

type metadata struct {
	Name            string            `json:"name,omitempty"`
	Namespace       string            `json:"namespace,omitempty"`
	Labels          map[string]string `json:"labels,omitempty"`
	ResourceVersion string            `json:"resourceVersion,omitempty"`
}

type secret struct {
	APIVersion string            `json:"apiVersion"`
	Kind       string            `json:"kind"`
	Type       string            `json:"type"`
	Metadata   metadata          `json:"metadata"`
	Data       map[string]string `json:"data"`
}

// watch copies all, prints "ready", and copies each Secret again whose event comes, until the input ends.
//
// A copy is one GET on the source and one server-side apply for each target, side by side. It decides and checks
// nothing, and its connections stay open, so no client that reads a Secret at its event is much faster.
func watch(file string, roots *x509.CertPool) error {
	work, err := readJob(file, roots)
	if err != nil {
		return err
	}
	var found struct {
		Metadata metadata
		Items    []struct{ Metadata metadata }
	}
	if err := work.Source.read("", listOnly, &found); err != nil {
		return err
	}
	for _, one := range found.Items {
		if err := work.copyRouted(one.Metadata.Name); err != nil {
			return err
		}
	}
	query := "?watch=true&resourceVersion=" + found.Metadata.ResourceVersion
	events, err := work.Source.do("GET", query, metadataOnly, nil)
	if err != nil {
		return err
	}
	defer events.Body.Close()
	go work.follow(events.Body)
	fmt.Println("ready")
	_, err = io.Copy(io.Discard, os.Stdin)
	os.Exit(0)
	return err
}

func readJob(file string, roots *x509.CertPool) (*job, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var work job
	if err := json.Unmarshal(content, &work); err != nil {
		return nil, err
	}
	work.Source.client = newClient(roots)
	for index := range work.Targets {
		work.Targets[index].client = newClient(roots)
	}
	return &work, nil
}

// follow ends the program at the first error: what is measured would lack a copy.
func (j *job) follow(events io.Reader) {
	decoder := json.NewDecoder(events)
	for {
		var event struct {
			Type   string
			Object struct{ Metadata metadata }
		}
		if err := decoder.Decode(&event); err != nil {
			log.Fatal(err)
		}
		if event.Type != "ADDED" && event.Type != "MODIFIED" {
			continue
		}
		go func() {
			if err := j.copyRouted(event.Object.Metadata.Name); err != nil {
				log.Fatal(err)
			}
		}()
	}
}

func (j *job) copyRouted(name string) error {
	if !strings.HasPrefix(name, j.Prefix) {
		return nil
	}
	var found secret
	if err := j.Source.read("/"+name, "application/json", &found); err != nil {
		return err
	}
	failures := make([]error, len(j.Targets))
	var group sync.WaitGroup
	for index, target := range j.Targets {
		group.Go(func() {
			copied := found
			copied.Metadata = metadata{Name: name, Namespace: target.Namespace, Labels: j.Labels}
			failures[index] = target.apply(copied)
		})
	}
	group.Wait()
	return errors.Join(failures...)
}

func (c *cluster) apply(one secret) error {
	body, err := json.Marshal(one)
	if err != nil {
		return err
	}
	answer, err := c.do("PATCH", "/"+one.Metadata.Name+"?fieldManager=floor&force=true", "application/json", body)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	_, err = io.Copy(io.Discard, answer.Body)
	return err
}

func (c *cluster) read(path, accept string, into any) error {
	answer, err := c.do("GET", path, accept, nil)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	content, err := io.ReadAll(answer.Body)
	if err != nil {
		return err
	}
	return json.Unmarshal(content, into)
}

// do sends a request about the Secrets of the namespace; the path follows theirs. The caller closes the body.
func (c *cluster) do(method, path, accept string, body []byte) (*http.Response, error) {
	address := c.URL + "/api/v1/namespaces/" + c.Namespace + "/secrets" + path
	prepared, err := http.NewRequest(method, address, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	prepared.Header.Set("Authorization", "Bearer "+c.Token)
	prepared.Header.Set("Accept", accept)
	prepared.Header.Set("Content-Type", "application/apply-patch+yaml")
	answer, err := c.client.Do(prepared)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode != http.StatusOK && answer.StatusCode != http.StatusCreated {
		answer.Body.Close()
		return nil, fmt.Errorf("%s %s: %s", method, path, answer.Status)
	}
	return answer, nil
}
