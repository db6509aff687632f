// Package users is the service itself, the same in every program.
package users

import (
	"context"

	"google.golang.org/grpc/status"

	contract "seawall/peers/gen/users"
)

// Service answers with a user made up from the id.
type Service struct {
	contract.UnimplementedUserServiceServer
}

// GetUser answers at once.
func (Service) GetUser(_ context.Context, request *contract.GetUserRequest) (*contract.GetUserResponse, error) {
	return &contract.GetUserResponse{User: &contract.User{
		UserId:      request.GetUserId(),
		Email:       "ada@example.com",
		DisplayName: "Ada Lovelace",
	}}, nil
}

// HoldUser gives up when the call's time is over, as a database driver does.
func (Service) HoldUser(ctx context.Context, _ *contract.HoldUserRequest) (*contract.HoldUserResponse, error) {
	<-ctx.Done()
	return nil, status.FromContextError(ctx.Err()).Err()
}
