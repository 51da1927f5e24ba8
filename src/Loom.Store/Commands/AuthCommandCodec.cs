using System.Text;
using Loom.Store.Auth;
using Loom.Store.Model;
using MessagePack;

namespace Loom.Store.Commands;

/// <summary>
/// The bodies of the commands for users, roles and tokens (see <see cref="CommandWriter"/>):
/// <code>
/// switch     = [ flags ]                           flags: 1 enables
/// user add   = [ flags, name, hash ]               flags: 1 has a password
/// user del   = [ name ]
/// password   = [ name, hash ]
/// user role  = [ flags, user, role ]               flags: 1 grants
/// role       = [ flags, name ]                     flags: 1 adds
/// permission = [ flags, role, kind, start, end ]   flags: 1 grants
/// token      = [ user, digest, auth revision ]
/// </code>
/// Names and hashes are of the bin type, names in UTF-8.
/// </summary>
internal static class AuthCommandCodec
{
    public const int DigestBytes = 32;

    private static readonly UTF8Encoding Utf8 = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);

    public static CommandKind KindOf(Command command) => command switch
    {
        AuthSwitchCommand => CommandKind.AuthSwitch,
        UserAddCommand => CommandKind.UserAdd,
        UserDeleteCommand => CommandKind.UserDelete,
        UserPasswordCommand => CommandKind.UserPassword,
        UserRoleCommand => CommandKind.UserRole,
        RoleCommand => CommandKind.Role,
        RolePermissionCommand => CommandKind.RolePermission,
        AuthenticateCommand => CommandKind.Authenticate,
        _ => throw new ArgumentOutOfRangeException(nameof(command)),
    };

    public static void Write(ref MessagePackWriter writer, Command command)
    {
        switch (command)
        {
            case AuthSwitchCommand one:
                writer.WriteArrayHeader(1);
                writer.Write(one.Enables ? 1 : 0);
                break;
            case UserAddCommand user:
                writer.WriteArrayHeader(3);
                writer.Write(user.HasPassword ? 1 : 0);
                WriteName(ref writer, user.Name);
                writer.Write(user.PasswordHash.Span);
                break;
            case UserDeleteCommand user:
                writer.WriteArrayHeader(1);
                WriteName(ref writer, user.Name);
                break;
            case UserPasswordCommand user:
                writer.WriteArrayHeader(2);
                WriteName(ref writer, user.Name);
                writer.Write(user.PasswordHash.Span);
                break;
            case UserRoleCommand role:
                writer.WriteArrayHeader(3);
                writer.Write(role.Grants ? 1 : 0);
                WriteName(ref writer, role.User);
                WriteName(ref writer, role.Role);
                break;
            case RoleCommand role:
                writer.WriteArrayHeader(2);
                writer.Write(role.Adds ? 1 : 0);
                WriteName(ref writer, role.Name);
                break;
            case RolePermissionCommand role:
                writer.WriteArrayHeader(5);
                writer.Write(role.Grants ? 1 : 0);
                WriteName(ref writer, role.Role);
                writer.Write((byte)role.Permission.Kind);
                writer.Write(role.Permission.Range.Start.Span);
                writer.Write(role.Permission.Range.End.Span);
                break;
            case AuthenticateCommand token:
                writer.WriteArrayHeader(3);
                WriteName(ref writer, token.User);
                writer.Write(token.TokenDigest.Span);
                writer.Write(token.AuthRevision);
                break;
            default:
                throw new ArgumentOutOfRangeException(nameof(command));
        }
    }

    /// <summary>Null: the kind is none of these.</summary>
    public static Command? Read(ref MessagePackReader reader, int kind)
    {
        switch (kind)
        {
            case (int)CommandKind.AuthSwitch:
                CommandReader.Expect(ref reader, 1, "switch");
                return new AuthSwitchCommand(ReadFlag(ref reader));
            case (int)CommandKind.UserAdd:
                CommandReader.Expect(ref reader, 3, "user");
                bool hasPassword = ReadFlag(ref reader);
                return new UserAddCommand(ReadName(ref reader), ReadHash(ref reader), hasPassword);
            case (int)CommandKind.UserDelete:
                CommandReader.Expect(ref reader, 1, "user");
                return new UserDeleteCommand(ReadName(ref reader));
            case (int)CommandKind.UserPassword:
                CommandReader.Expect(ref reader, 2, "password");
                return new UserPasswordCommand(ReadName(ref reader), ReadHash(ref reader));
            case (int)CommandKind.UserRole:
                CommandReader.Expect(ref reader, 3, "role of a user");
                return new UserRoleCommand(ReadFlag(ref reader), ReadName(ref reader), ReadName(ref reader));
            case (int)CommandKind.Role:
                CommandReader.Expect(ref reader, 2, "role");
                return new RoleCommand(ReadFlag(ref reader), ReadName(ref reader));
            case (int)CommandKind.RolePermission:
                CommandReader.Expect(ref reader, 5, "permission");
                bool grants = ReadFlag(ref reader);
                string role = ReadName(ref reader);
                byte permission = reader.ReadByte();
                return permission <= (byte)PermissionKind.ReadWrite
                    ? new RolePermissionCommand(grants, role, new Permission((PermissionKind)permission, CommandReader.ReadRange(ref reader)))
                    : throw new CommandFormatException($"Permission kind {permission} is not known to this version.", isUnknownVersion: true);
            case (int)CommandKind.Authenticate:
                CommandReader.Expect(ref reader, 3, "token");
                return new AuthenticateCommand(ReadName(ref reader), ReadDigest(ref reader), reader.ReadInt64());
            default:
                return null;
        }
    }

    public static void WriteName(ref MessagePackWriter writer, string name) => writer.Write(Encoding.UTF8.GetBytes(name));

    public static string ReadName(ref MessagePackReader reader)
    {
        // As long as any name that was ever proposed: one that is too long is refused by rule, and not as something that nobody wrote.
        ReadOnlyMemory<byte> name = CommandReader.ReadBytes(ref reader);
        return name.Length <= CommandLimits.MaxNameBytes ? Utf8.GetString(name.Span) : throw new CommandFormatException($"A name of {name.Length} bytes; at most {CommandLimits.MaxNameBytes} are decoded.");
    }

    private static bool ReadFlag(ref MessagePackReader reader) => CommandReader.ReadFlags(ref reader, 1) != 0;

    private static ReadOnlyMemory<byte> ReadHash(ref MessagePackReader reader)
    {
        ReadOnlyMemory<byte> hash = CommandReader.ReadBytes(ref reader);

        // A copy: it stays in the state, and must not keep the entry in memory.
        return hash.Length <= AuthLimits.MaxHashBytes ? hash.ToArray() : throw new CommandFormatException($"A hash of {hash.Length} bytes; at most {AuthLimits.MaxHashBytes} are decoded.");
    }

    private static ReadOnlyMemory<byte> ReadDigest(ref MessagePackReader reader)
    {
        ReadOnlyMemory<byte> digest = CommandReader.ReadBytes(ref reader);
        return digest.Length == DigestBytes ? digest : throw new CommandFormatException($"A digest of {digest.Length} bytes; it has {DigestBytes}.");
    }
}
