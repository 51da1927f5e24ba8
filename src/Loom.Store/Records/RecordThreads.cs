namespace Loom.Store.Records;

/// <summary>
/// A few threads for blocking file work, started when first needed. Requests are done in order when there is one thread.
/// The queue is bounded by its users: 64 readers with 64 reads each, and the pages that fit into the log's memory.
/// </summary>
internal sealed class RecordThreads(string name, int limit, RecordFaults faults)
{
    private const int StackBytes = 512 * 1024;

    private readonly Queue<Action> queue = new();
    private readonly List<Thread> threads = [];
    private int idle;
    private bool stopping;

    public void Post(Action work)
    {
        lock (queue)
        {
            ObjectDisposedException.ThrowIf(stopping, this);
            queue.Enqueue(work);
            if (queue.Count > idle && threads.Count < limit)
            {
                Thread thread = new(Run, StackBytes) { IsBackground = true, Name = name };
                threads.Add(thread);
                thread.Start();
            }
            else
            {
                Monitor.Pulse(queue);
            }
        }
    }

    /// <summary>Finishes what is queued, then stops. False: a thread hangs in the disk, which must hang nobody; it is a background thread and may still write where it was told to.</summary>
    public bool Stop(long untilTicks)
    {
        lock (queue)
        {
            stopping = true;
            Monitor.PulseAll(queue);
        }

        // Nobody adds one after "stopping".
        bool ended = true;
        foreach (Thread thread in threads)
        {
            ended &= thread.Join((int)Math.Max(0, untilTicks - Environment.TickCount64));
        }

        return ended;
    }

    private void Run()
    {
        while (true)
        {
            Action work;
            lock (queue)
            {
                while (!queue.TryDequeue(out work!))
                {
                    if (stopping)
                    {
                        return;
                    }

                    idle++;
                    Monitor.Wait(queue);
                    idle--;
                }
            }

            try
            {
                work();
            }
#pragma warning disable CA1031 // Thrown by FASTER out of a completion: what it was doing will never end, so the replica does.
            catch (Exception e)
#pragma warning restore CA1031
            {
                faults.Report(e);
            }
        }
    }
}
