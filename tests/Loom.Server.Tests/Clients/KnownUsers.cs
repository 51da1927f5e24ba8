using Google.Protobuf;
using Grpc.Net.Client;
using Loom.Server.Etcd.Protos;

namespace Loom.Server.Tests.Clients;

/// <summary>Switches authentication on, as an operator does: root, and a user who may do everything below "mine/".</summary>
internal static class KnownUsers
{
    public const string Name = "ann";
    public const string Password = "secret";

    public static async Task EnableAsync(GrpcChannel channel)
    {
        var auth = new Auth.AuthClient(channel);
        await auth.UserAddAsync(new AuthUserAddRequest { Name = "root", Password = "root" });
        await auth.UserGrantRoleAsync(new AuthUserGrantRoleRequest { User = "root", Role = "root" });
        await auth.RoleAddAsync(new AuthRoleAddRequest { Name = "mine" });
        await auth.RoleGrantPermissionAsync(new AuthRoleGrantPermissionRequest
        {
            Name = "mine",
            Perm = new Permission { PermType = Permission.Types.Type.Readwrite, Key = ByteString.CopyFromUtf8("mine/"), RangeEnd = ByteString.CopyFromUtf8("mine0") },
        });
        await auth.UserAddAsync(new AuthUserAddRequest { Name = Name, Password = Password });
        await auth.UserGrantRoleAsync(new AuthUserGrantRoleRequest { User = Name, Role = "mine" });
        await auth.AuthEnableAsync(new AuthEnableRequest());
    }
}
