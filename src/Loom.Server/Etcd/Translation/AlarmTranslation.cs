using Loom.Store.Model;
using Wire = Loom.Server.Etcd.Protos;

namespace Loom.Server.Etcd.Translation;

/// <summary>
/// Alarms in etcd's words. etcd has one alarm for space, we have two (the state is at its quota; a member's disk is nearly full): both are shown as NOSPACE of their member,
/// once, and disarming NOSPACE disarms both.
/// </summary>
internal static class AlarmTranslation
{
    /// <summary>All alarms, in a stable order.</summary>
    public static IEnumerable<Wire.AlarmMember> All(IReadOnlyList<Alarm> alarms) => alarms.Select(Of).Distinct();

    /// <summary>Those of a type; NONE: all.</summary>
    public static IEnumerable<Wire.AlarmMember> Only(Wire.AlarmType type, IReadOnlyList<Alarm> alarms) => All(alarms).Where(alarm => type == Wire.AlarmType.None || alarm.Alarm == type);

    public static Wire.AlarmMember Of(Alarm alarm) => new()
    {
        MemberID = alarm.Member,
        Alarm = alarm.Kind == AlarmKind.Corrupt ? Wire.AlarmType.Corrupt : Wire.AlarmType.Nospace,
    };

    /// <summary>Which of ours an etcd alarm stands for; a call that names none or an unknown one disarms nothing, and cannot raise it.</summary>
    public static IReadOnlyList<AlarmKind> Kinds(Wire.AlarmType type, bool raises) => type switch
    {
        Wire.AlarmType.Nospace => raises ? [AlarmKind.NoSpace] : [AlarmKind.NoSpace, AlarmKind.LowDisk],
        Wire.AlarmType.Corrupt => [AlarmKind.Corrupt],
        _ => raises ? [0] : [],
    };

    public static string Name(Wire.AlarmType type) => type switch
    {
        Wire.AlarmType.Nospace => "NOSPACE",
        Wire.AlarmType.Corrupt => "CORRUPT",
        _ => "NONE",
    };
}
