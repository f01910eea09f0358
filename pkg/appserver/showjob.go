package appserver

import (
	"time"

	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// shownJob is a job in the API.
type shownJob struct {
	ID       string                  `json:"id"`
	State    State                   `json:"state"`
	To       shownFilter             `json:"to"`
	Message  shownMessage            `json:"message"`
	Total    int64                   `json:"total"`
	Done     int64                   `json:"done"`
	Counts   map[webpush.Class]int64 `json:"counts"`
	Services Counts                  `json:"services"`
	Problem  string                  `json:"problem,omitempty"`
	Withdraw *shownWithdrawal        `json:"withdrawn,omitempty"`
	Reports  *Reports                `json:"reports,omitempty"`
	SendAt   *time.Time              `json:"sendAt,omitempty"`
	Created  time.Time               `json:"created"`
	Started  *time.Time              `json:"started"`
	Finished *time.Time              `json:"finished"`
	Results  *[]shownFailure         `json:"results,omitempty"`
	Next     string                  `json:"next,omitempty"`
}

type shownFilter struct {
	All  bool   `json:"all,omitempty"`
	User string `json:"user,omitempty"`
	Tag  string `json:"tag,omitempty"`
}

type shownMessage struct {
	PayloadBytes *int            `json:"payloadBytes"` // null without a payload
	TTL          int64           `json:"ttl"`          // seconds
	Urgency      webpush.Urgency `json:"urgency,omitempty"`
	Topic        string          `json:"topic,omitempty"`
	Cancelable   bool            `json:"cancelable,omitempty"`
}

// shownWithdrawal counts the messages of a cancelable push in the API.
type shownWithdrawal struct {
	Possible int64 `json:"possible"` // messages that push services may still hold
	Done     int64 `json:"done"`
	Failed   int64 `json:"failed"`
}

type shownFailure struct {
	Subscription string          `json:"subscription"` // ID of the subscription
	Service      webpush.Service `json:"service"`
	Origin       string          `json:"origin"`
	Class        webpush.Class   `json:"class"`
	Status       *int            `json:"status"`
	Problem      string          `json:"problem"`
	Hint         string          `json:"hint,omitempty"`
	Attempts     int             `json:"attempts"`
	Time         time.Time       `json:"time"`
}

func showJob(j Job) shownJob {
	out := shownJob{ID: j.ID, State: j.State, To: shownFilter{All: j.To == Filter{}, User: j.To.User, Tag: j.To.Tag},
		Message: shownMessage{TTL: int64(j.Message.TTL / time.Second), Urgency: j.Message.Urgency, Topic: j.Message.Topic, Cancelable: j.Message.Cancelable},
		Total:   j.Total, Counts: make(map[webpush.Class]int64), Services: j.Counts, Problem: j.Problem, Created: j.Created}
	if j.Message.Payload != nil {
		out.Message.PayloadBytes = new(len(j.Message.Payload))
	}
	if j.Message.Cancelable {
		out.Withdraw = &shownWithdrawal{j.Kept, j.Withdrawn, j.NotWithdrawn}
	}
	if j.Track != "" {
		out.Reports = &j.Reports
	}
	if !j.Due.IsZero() {
		out.SendAt = &j.Due
	}
	if !j.Started.IsZero() {
		out.Started = &j.Started
	}
	if !j.Finished.IsZero() {
		out.Finished = &j.Finished
	}
	for _, classes := range j.Counts {
		for class, n := range classes {
			out.Counts[class] += n
			out.Done += n
		}
	}
	return out
}
